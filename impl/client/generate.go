package client

//go:generate sh -c "cd ../.. && protoc --plugin=protoc-gen-go=$DOLLAR(go tool -n protoc-gen-go) --go_out=. --go_opt=module=github.com/mome-dsm/mome impl/client/attach.proto"
