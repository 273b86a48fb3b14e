import numpy as np
import zstandard

from depositd.simulate import images

SHAPE = (619, 487)


def test_a_frame_is_the_same_whenever_it_is_made():
    assert np.array_equal(images.frame(7, shape=SHAPE, seed=3), images.frame(7, shape=SHAPE, seed=3))


def test_frames_and_seeds_differ():
    first = images.frame(1, shape=SHAPE, seed=0)
    assert np.mean(first != images.frame(2, shape=SHAPE, seed=0)) > 0.5
    assert np.mean(first != images.frame(1, shape=SHAPE, seed=1)) > 0.5


def test_counts_fall_off_with_the_radius():
    image = images.frame(1, shape=SHAPE)
    centre = image[290:330, 220:260]
    corner = image[:40, :40]
    assert centre[centre >= 0].mean() > 10 * corner[corner >= 0].mean()


def test_rows_between_modules_are_marked():
    image = images.frame(1, shape=SHAPE)
    assert (image[195:212] == images.GAP).mean() > 0.99
    assert (image[0:195] == images.GAP).sum() == 0
    assert (image == images.DEAD).sum() == 10


def test_an_eiger_4m_has_four_by_two_modules_and_no_gap_at_its_edges():
    marked = images.frame(1, shape=(2162, 2068), tiling=images.EIGER) == images.GAP
    assert marked.all(axis=1).nonzero()[0].tolist() == [*range(512, 550), *range(1062, 1100), *range(1612, 1650)]
    assert marked.all(axis=0).nonzero()[0].tolist() == [*range(1028, 1040)]


def test_a_longer_exposure_has_more_counts():
    once, twice = (images.frame(1, shape=SHAPE, exposure=exposure).clip(0).mean() for exposure in (1.0, 2.0))
    assert 1.9 < twice / once < 2.1


def test_spots_stand_out_while_they_are_in_reflection():
    bright = [images.frame(number, shape=SHAPE)[:200] > 60 for number in (1, 2, 9)]  # the background there: 15 at most
    assert all(10 < spots.sum() < 1000 for spots in bright)
    assert (bright[0] & bright[1]).any()
    assert not (bright[0] & bright[2]).any()


def test_no_picture_is_a_shifted_copy_of_the_one_before():
    """What repeats at a distance would compress as no detector's frames do."""
    first, second = (images.frame(number, shape=SHAPE).astype("<i4").tobytes() for number in (1, 2))
    alone, together = (len(zstandard.ZstdCompressor(level=9).compress(data)) for data in (second, first + second))
    assert together - len(zstandard.ZstdCompressor(level=9).compress(first)) > 0.97 * alone


def test_integrated_counts_have_no_negative_and_a_pedestal():
    counts = images.positive(np.array([[-2, -1, 0, 70_000]], dtype=np.int32), offset=1)
    assert counts.tolist() == [[0, 0, 1, 65_535]]
    assert counts.dtype == np.dtype("<u2")


def test_an_album_encodes_each_picture_once_and_shows_it_again():
    encoded = []

    def encode(image):
        encoded.append(image)
        return images.Encoded(image.tobytes())

    album = images.Album(encode, shape=(20, 30), seed=3)
    shown = [album.picture(number) for number in (1, 2, 2, 1, 24, 25, 26, 1000)]
    assert len(encoded) == 24
    assert np.array_equal(encoded[1], images.frame(2, shape=(20, 30), seed=3))
    assert shown[0] is shown[3] is shown[5]
    assert shown[1] is shown[2] is shown[6]
    assert shown[0].pixels != shown[1].pixels


def test_an_album_of_large_pictures_keeps_few():
    encoded = []

    def encode(image):
        encoded.append(image)
        return images.Encoded(bytes(30 << 20))

    album = images.Album(encode, shape=(2, 2))
    assert album.picture(1000) is album.picture(4)
    assert len(encoded) == 3
