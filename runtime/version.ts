// The version that programs print and that the datastore records.

export const version = '0.1.0';
