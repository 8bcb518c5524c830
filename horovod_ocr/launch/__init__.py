"""Several hosts: `hosts` (hosts.txt, ssh, doctor: can they train?) and `supervise` (keeps their training going)."""
