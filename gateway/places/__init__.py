"""Files and folders of the machine: the state directory, whose they are, what may be read; and who a person is."""
