"""Which versions of packages are installed, told without importing them."""

from importlib.metadata import PackageNotFoundError, version


def installed(*packages: str) -> dict[str, str] | None:
    """Returns the packages' versions by name; None where one of them is not installed under that name.

    Args:
        packages: Names as package indexes know them: "ai-edge-litert".
    """
    try:
        return {package: version(package) for package in packages}
    except PackageNotFoundError:
        return None
