"""What setup.cfg cannot say: the project's address, where it has one, and a README that can be read anywhere."""

import configparser
import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent


def address() -> str:
    """Where the project lives: the one setting, empty as long as it lives nowhere."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(HERE / "setup.cfg")
    return settings["tool:witten"]["address"].strip().rstrip("/")


def readable_anywhere(text: str, address: str) -> str:
    """Markdown whose links and pictures in the project go to its address; without one, plain words and no pictures."""
    picture, link = r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)\n*", r"(?<!!)\[([^\]]*)\]\((?!https?:)([^)]+)\)"
    if not address:
        return re.sub(link, r"\1", re.sub(picture, "", text))
    shown = re.sub(picture, rf"![\1]({address}/raw/main/\2)\n\n", text)
    return re.sub(link, rf"[\1]({address}/blob/main/\2)", shown)


def project_urls(address: str) -> dict[str, str]:
    return {"Source": address, "Issues": f"{address}/issues"} if address else {}


if __name__ == "__main__":
    setup(
        long_description=readable_anywhere((HERE / "README.md").read_text(encoding="utf-8"), address()),
        long_description_content_type="text/markdown",
        project_urls=project_urls(address()),
    )
