"""One module for each DVC stage: read files, call the library, write files, log."""
