import numpy as np

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
