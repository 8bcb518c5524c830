"""What people look at: pages in HTML, pictures, and tables on a terminal. Draws; computes nothing."""
