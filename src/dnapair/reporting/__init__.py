"""How pages, plots and tables look; the HTML lies in `templates/`."""
