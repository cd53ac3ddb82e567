//! Black-box tests of the whole server; they stand in the folders beside this one. Nothing is exported.
