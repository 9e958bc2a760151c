"""Many files: jobs, journals, processes, clusters, manifests.

A file imports only from those that are named before it:

- `job`: a separation of one file as plain data
- `journal`: what is finished, written down
- `outputs`: what manifests have in common
- `regrouped`: what components became when they were regrouped
- `manifest`: what stems were made from
- `regrouping`: components regrouped into a folder
- `described`: a manifest in words
- `pace`: how far a separation is
- `perform`: one job as a worker does it
- `processes`: workers on this machine
- `worker`: workers of a cluster
- `watch`: whether a cluster still moves
- `cluster`: a Dask cluster, found or started
- `fleet`: recordings shared out to the workers of a cluster
- `cluster_learning`: templates learnt on a cluster
- `cluster_executor`: a batch done by the workers of a cluster
- `run`: a batch of jobs
- `folders`: recordings and folders of them, as a call
- `rerun`: stems made again from a manifest
"""
