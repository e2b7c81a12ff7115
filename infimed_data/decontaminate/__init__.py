"""Decontamination: training rows that a benchmark has too, by image, group and text, with the evidence."""
