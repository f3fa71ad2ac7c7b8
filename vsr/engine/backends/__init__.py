"""Ways to run a generator behind one interface, a function from a batch to a batch, and the choice of one."""
