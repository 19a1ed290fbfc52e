"""Versions of the registered model, their aliases and history."""
