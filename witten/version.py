"""The version, for whoever is below the package itself."""

__version__ = "0.2.0"
