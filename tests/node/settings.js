'use strict';

// What both programs tell the client. It logs errors alone; a name server that is given by its address needs no HTTP.
const nothing = () => {};

exports.settings = address => ({
  nameSrv: address,
  httpclient: {},
  logger: { debug: nothing, info: nothing, warn: nothing, error: console.error },
});

exports.fail = error => {
  console.error(error);
  process.exit(1);
};
