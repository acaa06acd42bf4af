"""Own tables: from files to a data set."""
