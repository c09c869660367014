"""Scanners: what texts they find in a picture."""

import numpy as np

from srgan_tf.errors import UserError

READERS = ("zxing-cpp", "OpenCV")


def load_readers():
    """The readers by name: functions of uint8 [H, W, 3] that give the texts of the QR codes they read.

    Raises:
        UserError: where one is not installed.
    """
    try:
        import cv2
        import zxingcpp
    except ImportError as error:
        raise UserError(
            f"codes are read by zxing-cpp and OpenCV, and {error.name} is not installed: pip install 'srgan_tf[qr]'"
        ) from error

    def zxing(picture):
        found = zxingcpp.read_barcodes(
            picture, formats=zxingcpp.BarcodeFormat.QRCode, text_mode=zxingcpp.TextMode.Plain
        )
        return [barcode.text for barcode in found]

    def opencv(picture):
        try:
            text, _, _ = cv2.QRCodeDetector().detectAndDecode(np.ascontiguousarray(picture[..., ::-1]))
        except cv2.error:  # what looked like the corners of a code was none
            return []
        return [text] if text else []

    return dict(zip(READERS, (zxing, opencv)))
