package node

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=controlpb --go_opt=paths=source_relative --go-grpc_out=controlpb --go-grpc_opt=paths=source_relative control.proto room.proto"
