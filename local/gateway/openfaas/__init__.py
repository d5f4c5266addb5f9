"""The part of the OpenFaaS REST API that faas-cli uses, for a local run.

https://docs.openfaas.com/reference/rest-api/; docs/faas-cli.md lists the differences.
"""
