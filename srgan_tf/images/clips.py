"""Enlarging clips frame by frame, with their timing, audio, orientation and colours. Independent of the networks."""

from pathlib import Path

from srgan_tf.atomic import whole_file
from srgan_tf.errors import UserError, reason
from srgan_tf.images.clip_names import CONTAINERS

LONGEST = 16384  # maximum side that the encoder supports, pixels


def enlarge(
    source, target, function, *, frame=lambda done, count: None, keep_interlaced=False, key=None
) -> tuple[str, ...]:
    """Enlarge a clip atomically. The memory use does not depend on the length of the clip.

    Every frame keeps its timestamp, counted from the beginning of the clip. Timestamps that jump back, repeat or
    restart are corrected to increase. The first video stream is encoded as H.264 (crf 16, 4:2:0; 10 bits if it has
    more than 8) with its colour tags. Frames are rotated and mirrored according to their display matrix, and odd
    sides are extended by one row or column. Audio is copied packet by packet, or encoded if the target's container
    does not support its codec. Subtitles, covers, attachments and chapters are copied if the container supports them.

    Args:
        source: a file in a format that FFmpeg reads. Damaged packets are skipped.
        target: the file to write; its suffix is one of `CONTAINERS`.
        function: enlarges one frame, RGB, uint8 or uint16 [H, W, 3].
        frame: called before each frame with the number of finished frames and the total according to the file.
        keep_interlaced: whether interlaced frames stay interlaced; otherwise they are deinterlaced (bwdif).
        key: a string that identifies what `function` computes. If given, finished segments are stored beside the
            target, and an interrupted run resumes after the last one.

    Returns:
        Notes for the user, for example about dropped streams.

    Raises:
        UserError: if PyAV is missing, the source is not a video, or the target cannot be written.
    """
    try:
        import av

        from srgan_tf.images import clip_reading, clip_segments, clip_writing
    except ImportError:
        raise UserError(f"{source}: videos need PyAV, which is not installed. Run pip install av.") from None
    if Path(target).suffix.lower() not in CONTAINERS:
        raise UserError(f"{target}: not a video format that can be written. Choose one of {' '.join(CONTAINERS)}.")
    with clip_reading.opened(source) as clip:
        reader = clip_reading.Reader(clip, source, deinterlace=not keep_interlaced)
        store = key and clip_segments.Store(
            target, clip_segments.key_of(source, Path(target).suffix, keep_interlaced, key)
        )
        try:
            with whole_file(target) as file:
                writer = clip_writing.Writer(file, target, clip, reader, source, store)
                for packet in reader.packets([reader.video, *writer.streams]):
                    if packet.stream is not reader.video:
                        writer.copy(packet)
                        continue
                    for picture in reader.frames(packet):
                        frame(writer.count, max(writer.count + 1, reader.length()))
                        writer.add(picture, function)
                for picture in reader.frames():
                    frame(writer.count, max(writer.count + 1, reader.length()))
                    writer.add(picture, function)
                if not writer.count:
                    raise UserError(f"{source}: no frame of the video can be decoded. Get the file again.")
                writer.close()
        except (OSError, av.error.FFmpegError) as error:
            raise UserError(f"{target}: the video cannot be written ({reason(error)}). Choose another place.") from None
    if store:
        store.remove()
    return (f"{writer.count} frame{'s' * (writer.count > 1)}", *writer.notes)
