"""Formulas in another form: in their own coordinates, without overflow, with short derivatives."""
