"""Packs that are not on this machine: on file servers, in object stores, on the Hugging Face Hub."""
