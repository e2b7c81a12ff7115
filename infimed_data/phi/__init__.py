"""Protected health information: what in texts, in headers of image files and in pixels may point at a person."""
