"""What is asked, what is right, what is wrong with a student's results, and which mistake it is."""
