"""Where results are computed: in processes on this machine, in a share of a job array, or on a Ray cluster."""
