"""Hosts: hosts.txt, ssh, and whether they can train together."""
