/**
 * Keeps onnxruntime from reporting home: from 1.29 on its Linux library tells Microsoft of each model that is opened, by its file's name,
 * producer and hashes, under an identifier that it leaves in the user's cache folder, unless this variable is set by the time the
 * library is loaded. Whoever imports onnxruntime imports this module before it.
 *
 * Source: onnxruntime, `core/platform/posix/telemetry.cc`.
 */
process.env['ORT_DISABLE_TELEMETRY'] = '1';
