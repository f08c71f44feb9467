"""The options of commands (`options`), and what the texts behind them mean."""
