"""Super-resolution of QR codes: training and scoring on generated images, the worked example of docs/qr.md.

Everything specific to codes is in this package; the others work with images and batches.
"""
