"""Compares codecs by rate and distortion.

    images -> grid -> results.csv -> rate_distortion -> summary -> report.html
               |                          |                |
    image_codecs, measurement           plots         summary.json

`evaluation_run` goes this way once. `studies` asks the paper's own questions of
models; the report shows their answers (`study_results`).
"""
