"""Templates: known structures whose sites a candidate's elements take."""
