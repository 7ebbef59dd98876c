/**
 * Errors of the decoder. Their names and meanings are those of the Python
 * library (bls2017/errors.py); each message is one line.
 */

/** Base of all errors of the decoder. */
export class CodecError extends Error {
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** Bytes that are not a whole, unchanged file of this format. */
export class BitstreamError extends CodecError {}

/** A sound file that was written with another model. */
export class ForeignModelError extends BitstreamError {}

/** An image beyond a limit of the format or of the caller. */
export class LimitError extends CodecError {}

/** Files of the site that are missing, damaged or of another format. */
export class ModelError extends CodecError {}

/** A file or an image that cannot be read. */
export class UnreadableInputError extends CodecError {}

const CLASSES = {
  BitstreamError,
  ForeignModelError,
  LimitError,
  ModelError,
  UnreadableInputError,
};

/** Makes an error again from its name and message, which workers can send. */
export function revived({name, message}) {
  return new (CLASSES[name] ?? CodecError)(message);
}

/** Throws a BitstreamError, or one of another class, unless a file is sound. */
export function check(isSound, message, Class = BitstreamError) {
  if (!isSound) throw new Class(message);
}
