"""The part of the OpenFaaS REST API that faas-cli uses, for a local run.

https://docs.openfaas.com/reference/rest-api/; what differs is told in docs/faas-cli.md.
"""
