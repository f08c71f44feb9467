"""What is published agrees with itself: the archive, the recipe, containers, workflows, and the one address."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from test_project import CONDA_NAMES, make_targets, setup_cfg, split_requirement

import witten

ROOT = Path(__file__).parents[1]
# conda-forge parts matplotlib from its windows.
RECIPE_NAMES = {"matplotlib": "matplotlib-base"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def module(name):
    spec = importlib.util.spec_from_file_location(f"project_{name}", ROOT / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


SETUP = module("setup")
RECIPE_TEXT = (ROOT / "recipe" / "recipe.yaml").read_text()
RECIPE = yaml.safe_load(RECIPE_TEXT)


def wanted(text):
    lines = [line.strip() for line in text.splitlines()]
    return dict(split_requirement(line) for line in lines if line and not line.startswith("#"))


def in_recipe(lines):
    return dict(line.split(" ", 1) if " " in line else (line, "") for line in lines)


# ------------------------------------------------------------------------------------------------ archive and recipe


def test_the_archive_holds_every_folder():
    """tools/check-release compares all files, where git is."""
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    folders = {each.name for each in ROOT.iterdir() if each.is_dir() and not each.match("*.egg-info")}
    grafted = set(re.findall(r"^graft (\S+)$", (ROOT / "MANIFEST.in").read_text(), re.M))
    assert folders - ignored - {".git", "witten", "dist", ".venv"} == grafted


def test_the_recipe_asks_for_what_the_package_asks_for():
    cfg = setup_cfg()
    required = wanted(cfg["options"]["install_requires"])
    expected = {RECIPE_NAMES.get(name, name): version for name, version in required.items()}
    run = in_recipe(RECIPE["requirements"]["run"])
    python = RECIPE["context"]["python_min"]
    assert run.pop("python").replace("${{ python_min }}", python) == cfg["options"]["python_requires"]
    assert run == expected
    extras = cfg["options.extras_require"]
    optional = wanted(extras["fem"]) | wanted(extras["certify"])
    assert in_recipe(RECIPE["requirements"]["run_constraints"]) == {
        CONDA_NAMES.get(name, (name,))[0]: version for name, version in optional.items()
    }
    build = yaml.safe_load(re.search(r"requires = (\[.*\])", (ROOT / "pyproject.toml").read_text())[1])
    assert [line.replace(" ", "") for line in RECIPE["requirements"]["host"] if "setuptools" in line] == build


def test_the_recipe_has_the_version_and_the_command():
    assert RECIPE["context"]["version"] == witten.__version__
    assert RECIPE["about"]["summary"] == setup_cfg()["metadata"]["description"]
    assert RECIPE["about"]["license"] == setup_cfg()["metadata"]["license_expression"]
    scripts = setup_cfg()["options.entry_points"]["console_scripts"].split("\n")
    assert RECIPE["build"]["python"]["entry_points"] == [line for line in scripts if line]


# ------------------------------------------------------------------------------------------------ one address


def test_every_link_is_made_of_the_one_address():
    """Nothing else names a place of this project; none is invented while it has none."""
    address = SETUP.address()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation.get("repository-code", "") == address
    assert RECIPE["about"].get("homepage", "") == address
    source = RECIPE["source"]
    assert source == {"path": ".."} if not address else source["url"].startswith(address)
    assert bool(SETUP.project_urls(address)) == bool(address)
    assert "url" not in setup_cfg()["metadata"] and "project_urls" not in setup_cfg()["metadata"]


TEXT = "![A rate](docs/a.png)\n\n[Start](docs/start.md) and [a paper](https://arxiv.org/abs/2004.06977)\n"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("", "Start and [a paper](https://arxiv.org/abs/2004.06977)\n"),
        (
            "https://example.org/w",
            "![A rate](https://example.org/w/raw/main/docs/a.png)\n\n[Start](https://example.org/w/blob/main/docs/start.md)"
            " and [a paper](https://arxiv.org/abs/2004.06977)\n",
        ),
    ],
)
def test_a_readme_that_is_shown_elsewhere_has_no_broken_link(address, shown):
    assert SETUP.readable_anywhere(TEXT, address) == shown
    readme = SETUP.readable_anywhere((ROOT / "README.md").read_text(), address)
    assert not re.search(r"\]\((?!https://)", readme)


HOSTS = re.compile(r"(pypi|anaconda|conda-forge|docker|ghcr|quay|github|gitlab)\.(org|com|io|net)\b")
ELSEWHERE = ("witten", "docs", "examples", "tools", "benchmarks", "meshes")


def test_no_registry_is_named_but_by_those_who_use_it():
    files = [path for folder in ELSEWHERE for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md", "")]
    files += [*ROOT.glob("*.md"), *ROOT.glob("*.cfg"), *ROOT.glob("*.py"), *ROOT.glob("*.toml"), ROOT / "Makefile"]
    assert [str(path) for path in files if path.is_file() and HOSTS.search(path.read_text(errors="replace"))] == []


# ------------------------------------------------------------------------------------------------ workflows and others


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_there_is(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow[True] and workflow["permissions"]["contents"] == "read"  # YAML reads the key `on` as true
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    for words in map(str.split, runs):
        if words[0] == "make":
            assert words[1] in make_targets()
        elif "/" in words[0] and not words[0].startswith(".venv"):
            assert (ROOT / words[0]).is_file()


def test_workflows_cover_both_systems_docs_and_releases():
    jobs = {path.stem: yaml.safe_load(path.read_text())["jobs"] for path in WORKFLOWS}
    assert {"linux", "macos"} <= set(jobs["test"]) and "site" in jobs["docs"]
    oldest = setup_cfg()["options"]["python_requires"].removeprefix(">=")
    assert oldest in jobs["test"]["linux"]["strategy"]["matrix"]["python"]
    publish = jobs["release"]["publish"]
    assert publish["permissions"] == {"id-token": "write"} and publish["needs"] == "build"
    assert "password" not in (ROOT / ".github" / "workflows" / "release.yml").read_text().replace("no password", "")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_whole(path):
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    ids = [item["id"] for item in form["body"]]
    assert len(set(ids)) == len(ids) and all(item["attributes"]["label"] for item in form["body"])


def test_hooks_are_those_of_make_lint():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)[1]
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in lint.splitlines()]
    assert [hook["entry"] for hook in local["hooks"]] == [command.removesuffix(" .") for command in commands]


@pytest.mark.parametrize("name", ["Dockerfile", "witten.def"])
def test_containers_have_a_python_that_will_do_and_extras_that_exist(name):
    text = (ROOT / "containers" / name).read_text()
    major, minor = map(int, re.search(r"^(?:FROM|From:) python:(\d+)\.(\d+)", text, re.M).groups())
    assert (major, minor) >= tuple(map(int, setup_cfg()["options"]["python_requires"].removeprefix(">=").split(".")))
    assert f"Programming Language :: Python :: {major}.{minor}" in setup_cfg()["metadata"]["classifiers"]
    extras = re.search(r'pip install .*\[([\w,]+)\]"', text)[1].split(",")
    assert set(extras) <= set(setup_cfg()["options.extras_require"])
    for source in re.findall(r"^    (\S+) /opt/witten/", text, re.M):
        assert (ROOT / source).exists()
