"""The page of a run, `report.html`: one file that opens from disk, without a network and without JavaScript."""
