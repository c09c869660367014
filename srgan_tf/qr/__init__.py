"""QR codes that scan again: training and scoring on pictures that are drawn, the worked example of docs/qr.md.

Everything that knows what a code is lives here; the other rooms see pictures and batches.
"""
