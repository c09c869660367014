"""Scanners, which find and decode codes in an image."""

import numpy as np

from srgan_tf.errors import UserError

READERS = ("zxing-cpp", "OpenCV")


def load_readers():
    """The readers by name: functions of uint8 [H, W, 3] that return the texts of the QR codes they find.

    Raises:
        UserError: if one is not installed.
    """
    try:
        import cv2
        import zxingcpp
    except ImportError as error:
        raise UserError(
            f"QR codes: {error.name}, which reads them, is missing. Run pip install zxing-cpp opencv-python-headless."
        ) from error

    def zxing(picture):
        found = zxingcpp.read_barcodes(
            picture, formats=zxingcpp.BarcodeFormat.QRCode, text_mode=zxingcpp.TextMode.Plain
        )
        return [barcode.text for barcode in found]

    def opencv(picture):
        try:
            text, _, _ = cv2.QRCodeDetector().detectAndDecode(np.ascontiguousarray(picture[..., ::-1]))
        except cv2.error:  # it mistook other shapes for the corners of a code
            return []
        return [text] if text else []

    return dict(zip(READERS, (zxing, opencv)))
