"""A served model brings every package that its code imports."""

import sys
from importlib.metadata import packages_distributions

import grimp

from dnapair.registry import versions


def test_a_served_model_requires_every_package_it_imports() -> None:
    graph = grimp.build_graph("dnapair", include_external_packages=True, cache_dir=None)
    imported = {
        name
        for name in graph.find_upstream_modules("dnapair.scoring.pyfunc")
        if not name.startswith("dnapair")
    }
    # it looks at every package there is
    installed = packages_distributions()
    packages = {
        distribution.lower().replace("_", "-")
        for name in imported - sys.stdlib_module_names
        for distribution in installed[name]
        # MLflow's own parts come with it
        if not distribution.startswith("mlflow-")
    }
    assert packages <= set(versions._SERVED_PACKAGES)
