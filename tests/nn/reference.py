"""MIM in slow NumPy, transcribed from the paper's equations (1)-(4); the cells are held against it.

Weights go by the paper's own names: ``w["W'xg"]`` is the kernel W'_xg, (channels out, channels in, rows,
columns), and ``w["b'g"]`` its bias, (channels out, 1, 1). ``W1x1`` turns [C, M] into the hidden state.
Nothing of the package is used here.
"""

from collections import namedtuple

import numpy as np

STLSTM = namedtuple("STLSTM", "H C M")
MIMN = namedtuple("MIMN", "D N")
MIMS = namedtuple("MIMS", "T S")
MIM = namedtuple("MIM", "H C N S D M")


def conv(W, X):
    """W * X: same padding with zeros, one output cell at a time."""
    k = W.shape[-1]
    batch, _, height, width = X.shape
    padded = np.pad(X, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    Y = np.empty((batch, len(W), height, width))
    for row in range(height):
        for column in range(width):
            patch = padded[:, :, row : row + k, column : column + k]
            Y[:, :, row, column] = np.einsum("ocij,bcij->bo", W, patch)
    return Y


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def spatiotemporal_memory(w, X, M):
    """M[l,t] of equation (1), the same in both kinds of layer."""
    g_ = np.tanh(conv(w["W'xg"], X) + conv(w["Wmg"], M) + w["b'g"])
    i_ = sigmoid(conv(w["W'xi"], X) + conv(w["Wmi"], M) + w["b'i"])
    f_ = sigmoid(conv(w["W'xf"], X) + conv(w["Wmf"], M) + w["b'f"])
    return f_ * M + i_ * g_


def hidden_state(w, X, H, C, M):
    """H[l,t] of equation (1), from H[l,t-1] and the new C and M; the same in both kinds of layer."""
    o = sigmoid(conv(w["Wxo"], X) + conv(w["Who"], H) + conv(w["Wco"], C) + conv(w["Wmo"], M) + w["bo"])
    return o * np.tanh(conv(w["W1x1"], np.concatenate([C, M], axis=1)))


def st_lstm(w, X, H, C, M):
    """The ST-LSTM of layer 1: equation (1) with a forget gate."""
    g = np.tanh(conv(w["Wxg"], X) + conv(w["Whg"], H) + w["bg"])
    i = sigmoid(conv(w["Wxi"], X) + conv(w["Whi"], H) + w["bi"])
    f = sigmoid(conv(w["Wxf"], X) + conv(w["Whf"], H) + w["bf"])
    C = f * C + i * g
    M = spatiotemporal_memory(w, X, M)
    return STLSTM(hidden_state(w, X, H, C, M), C, M)


def mim_n(w, dH, N):
    """Equation (2)."""
    g = np.tanh(conv(w["Wxg"], dH) + conv(w["Wng"], N) + w["bg"])
    i = sigmoid(conv(w["Wxi"], dH) + conv(w["Wni"], N) + w["bi"])
    f = sigmoid(conv(w["Wxf"], dH) + conv(w["Wnf"], N) + w["bf"])
    N = f * N + i * g
    o = sigmoid(conv(w["Wxo"], dH) + conv(w["Wno"], N) + w["bo"])
    return MIMN(o * np.tanh(N), N)


def mim_s(w, D, C, S):
    """Equation (3)."""
    g = np.tanh(conv(w["Wdg"], D) + conv(w["Wcg"], C) + w["bg"])
    i = sigmoid(conv(w["Wdi"], D) + conv(w["Wci"], C) + w["bi"])
    f = sigmoid(conv(w["Wdf"], D) + conv(w["Wcf"], C) + w["bf"])
    S = f * S + i * g
    o = sigmoid(conv(w["Wdo"], D) + conv(w["Wco"], C) + conv(w["Wso"], S) + w["bo"])
    return MIMS(o * np.tanh(S), S)


def mim_block(w, X, X_before, H, C, N, S, M):
    """Equation (1): X is H[l-1,t], and X_before is H[l-1,t-1], None at the first step.

    A module without weights is taken out (Table 3): what it reads first stands for what it gives out.
    """
    if X_before is None:
        D = np.zeros_like(X)
    elif "MIM-N" in w:
        D, N = mim_n(w["MIM-N"], X - X_before, N)
    else:
        D = X - X_before
    T, S = mim_s(w["MIM-S"], D, C, S) if "MIM-S" in w else (D, S)
    g = np.tanh(conv(w["Wxg"], X) + conv(w["Whg"], H) + w["bg"])
    i = sigmoid(conv(w["Wxi"], X) + conv(w["Whi"], H) + w["bi"])
    C = T + i * g
    M = spatiotemporal_memory(w, X, M)
    return MIM(hidden_state(w, X, H, C, M), C, N, S, D, M)


def network(w, observed, horizon, truth=None, teacher_mask=None, covariates=None):
    """Equation (4), rolled on past the observed frames; every frame generated.

    ``w["layers"]`` holds each layer's weights, bottom first; ``w["W"]`` and ``w["b"]`` make the frame. A
    layer above the first that has a forget gate is an ST-LSTM, as in PredRNN.
    """
    batch, known, _, height, width = observed.shape
    L = len(w["layers"])
    M = np.zeros((batch, len(w["layers"][0]["bg"]), height, width))
    H, C, N, S = ([M] * L for _ in "HCNS")
    generated = []
    for t in range(known - 1 + horizon):
        X = observed[:, t] if t < known else generated[-1].copy()
        for b in range(batch):
            if t >= known and teacher_mask is not None and teacher_mask[b, t - known] == 1:
                X[b] = truth[b, t - known]
        if covariates is not None:
            X = np.concatenate([X, covariates[:, t]], axis=1)
        H_before = list(H)
        H[0], C[0], M = st_lstm(w["layers"][0], X, H[0], C[0], M)
        for l in range(1, L):
            if "Wxf" in w["layers"][l]:  # a forget gate of its own: PredRNN
                H[l], C[l], M = st_lstm(w["layers"][l], H[l - 1], H[l], C[l], M)
                continue
            X_before = None if t == 0 else H_before[l - 1]
            step = mim_block(w["layers"][l], H[l - 1], X_before, H[l], C[l], N[l], S[l], M)
            H[l], C[l], N[l], S[l], _, M = step
        generated.append(conv(w["W"], H[-1]) + w["b"])
    return np.stack(generated, axis=1)
