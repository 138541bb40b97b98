"""The page of many runs, `index.html`: every run below a folder with its verdict and a link to its own page."""
