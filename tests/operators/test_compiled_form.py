"""What a killed compilation leaves behind does not stop those that come later."""

import os
import time

import pytest

module = pytest.importorskip("witten.operators.elements.compiled_form", reason="needs DOLFINx", exc_type=ImportError)


@pytest.fixture
def waiting(monkeypatch, tmp_path):
    """FFCx as it waits for a source that another process compiles: that of this age, or one that is gone."""
    source = tmp_path / "libffcx_forms_0.c"

    def form(integrand):
        form.calls += 1
        if source.exists():
            raise TimeoutError(
                "JIT compilation timed out, probably due to a failed previous compile. "
                f"Try cleaning cache (e.g. remove {source}) or increase timeout option."
            )
        return integrand

    form.calls = 0
    source.touch()
    monkeypatch.setattr(module.fem, "form", form)
    return source, form


def test_what_a_killed_process_left_is_removed(waiting):
    source, form = waiting
    os.utime(source, (0, time.time() - 3600))
    assert module.compiled_form("u v dx") == "u v dx" and form.calls == 2


def test_who_is_still_compiling_is_waited_for(waiting):
    source, form = waiting
    with pytest.raises(TimeoutError):
        module.compiled_form("u v dx")
    assert source.exists() and form.calls == module.MOST_WAITS + 1


def test_other_errors_are_not_hidden(monkeypatch):
    def form(integrand):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(module.fem, "form", form)
    with pytest.raises(RuntimeError, match="no compiler"):
        module.compiled_form("u v dx")


@pytest.mark.parametrize("compiles", [True, False])
def test_a_compilation_that_is_interrupted_leaves_no_source(monkeypatch, tmp_path, compiles):
    source = tmp_path / "libffcx_forms_0.c"

    def _compile_objects():
        raise KeyboardInterrupt

    def wait():
        raise KeyboardInterrupt

    def compile_forms(integrand, cache_dir=tmp_path, module_name=source.stem):
        source.touch()
        _compile_objects() if compiles else wait()

    monkeypatch.setattr(module.fem, "form", compile_forms)
    with pytest.raises(KeyboardInterrupt):
        module.compiled_form("u v dx")
    assert source.exists() is not compiles
