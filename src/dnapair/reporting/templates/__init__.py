"""The HTML and CSS of pages, which Jinja2 loads from here; none needs a script or the network."""

from jinja2 import PackageLoader

LOADER = PackageLoader(__name__, "")
