"""Conversions between uint8 pixels and the ranges of LR, HR and SR."""

import tensorflow as tf


def to_lr(pixels):
    """uint8 [0, 255] -> LR, float32 [0, 1]."""
    return tf.cast(pixels, tf.float32) / 255.0


def to_hr(pixels):
    """uint8 [0, 255] -> HR, float32 [-1, 1]."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


def to_uint8(sr):
    """SR, float around [-1, 1] -> uint8 [0, 255]: round half to even, clip, cast."""
    return tf.cast(tf.clip_by_value(tf.round((tf.cast(sr, tf.float32) + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def to_levels(sr):
    """SR, float around [-1, 1] -> float32 [0, 255], not rounded: for more than 8 bits."""
    return tf.clip_by_value((tf.cast(sr, tf.float32) + 1.0) * 127.5, 0.0, 255.0)
