"""The version, for whoever is below the package itself, and those of other packages."""

__all__ = ["__version__", "version_of"]

__version__ = "0.2.0"


def version_of(package: str) -> str | None:
    """The version that is installed; None where there is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
