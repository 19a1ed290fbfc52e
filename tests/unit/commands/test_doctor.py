"""What `dnapair doctor` says of this machine."""

import sys
from pathlib import Path

import pytest

from dnapair.commands import doctor

# it starts DVC and loads PyTorch
pytestmark = pytest.mark.slow


def test_packages_without_bytecode_are_told_until_python_may_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    # where PYTHONPYCACHEPREFIX and PYTHONDONTWRITEBYTECODE put what they say
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "bytecode"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    doctor.run()
    assert "PYTHONDONTWRITEBYTECODE keeps Python from writing it" in capsys.readouterr().out
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    doctor.run()
    printed = capsys.readouterr().out
    assert "Python writes it with their first import" in printed
    assert "PYTHONDONTWRITEBYTECODE" not in printed
    monkeypatch.setattr(sys, "pycache_prefix", None)
    doctor.run()
    printed = capsys.readouterr().out
    assert "without bytecode" not in printed
    assert "have no bytecode" not in printed
