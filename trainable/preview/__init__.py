"""What can be known before a trial runs: numbers of the data, one batch of the stages."""
