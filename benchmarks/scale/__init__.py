"""What distribution over several workers costs, and a simulation of up to 1,000 of them."""
