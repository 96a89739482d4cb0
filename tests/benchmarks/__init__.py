"""Measured claims about speed and calibration: programs that print numbers, run by hand, asserted by no test."""
