"""Unit tests do not wait for the disk: none of them pulls the plug, so fsync proves nothing here."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", os.fstat)  # an error for what is no open file, as fsync has
