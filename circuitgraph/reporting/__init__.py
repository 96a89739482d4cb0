"""Runs and a comparison -> one self-contained HTML page. No torch."""
