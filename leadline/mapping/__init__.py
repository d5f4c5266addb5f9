"""The field map: the further fields of users, and the field of the lead that holds each."""
